"""The closing table of bin/create_pretraining_data."""

from albert_hvd.data.records.build_stages import HISTOGRAM_BINS


def statistics_table(totals, options):
    """Lines that tell what a build made, from the counts in its manifest."""
    def share(part, whole):
        return f"{100 * totals.get(part, 0) / max(totals.get(whole, 0), 1):.1f} %"

    records = max(totals.get("num_records", 0), 1)
    positions = records * options.max_seq_length
    histogram = "  ".join(f"<={(i + 1) * options.max_seq_length // HISTOGRAM_BINS}: "
                          f"{100 * totals.get(f'length_bin_{i}', 0) / records:.0f}%" for i in range(HISTOGRAM_BINS))
    rows = [
        ("documents", f"{totals['documents']} ({totals['documents_without_tokens']} without a token), "
                      f"{totals['sentences']} sentences, {totals['tokens']} tokens"),
        ("records", f"{totals.get('num_records', 0)} of {options.max_seq_length} positions, "
                    f"{totals.get('num_real_tokens', 0)} real tokens, fill "
                    f"{100 * totals.get('num_real_tokens', 0) / positions:.1f} %"),
        ("masked", f"{share('num_masked', 'num_real_tokens')} of the tokens, in {totals.get('num_masked_units', 0)} "
                   f"units ({options.masking})"),
        ("replaced by", f"<mask> {share('num_replaced_by_mask', 'num_masked')}, themselves "
                        f"{share('num_unchanged', 'num_masked')}, a random piece "
                        f"{share('num_replaced_by_random', 'num_masked')}"),
        ("label 1", f"{share('num_label_1', 'num_records')} of the records ({options.sentence_objective})"),
        ("lengths", histogram)]
    if totals.get("invalid_bytes"):
        rows.append(("warning", f"{totals['invalid_bytes']} invalid UTF-8 sequences were read as U+FFFD"))
    return [f"{name:<12} {value}" for name, value in rows]
