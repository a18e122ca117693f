"""The sample texts and the short run on them: what `bin/demo` shows."""
