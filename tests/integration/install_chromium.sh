#!/usr/bin/env bash
# Installs Debian's Chromium for test_report_in_browser.py, which is skipped without one. Needs root.
set -euo pipefail
command -v chromium >/dev/null && exit
apt-get update -qq
DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends chromium
chromium --version
