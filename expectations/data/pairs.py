"""What a night's pairs must live up to, as a Great Expectations suite over the profile (one row, one column a figure).

``critical`` stops the night before any accelerator is asked for; ``warning`` goes on and is shown.
"""

from typing import Any

EXACTLY_NONE = {"min_value": 0, "max_value": 0}


def pairs_suite(*, max_quarantined: float) -> Any:
    """The suite.

    Args:
        max_quarantined: largest share of rows that may be quarantined.
    """
    import great_expectations as gx  # 10 seconds: imported by the one step that judges data, not by the module
    import great_expectations.expectations as gxe

    def between(column: str, severity: str, why: str, **bounds: float) -> Any:
        # of a column with one value, its maximum: unlike ExpectColumnValuesToBeBetween it shows the figure in Data Docs
        return gxe.ExpectColumnMaxToBeBetween(column=column, severity=severity, notes=why, **bounds)  # pyright: ignore

    return gx.ExpectationSuite(
        name="pairs",
        expectations=[
            between("rows", "critical", "an empty export is an incident, not a quiet night", min_value=1),
            between("passed", "critical", "not one usable pair: too few for a night is decide's to say", min_value=1),
            between(
                "share_quarantined",
                "critical",
                "too many bad rows: the export itself is broken",
                max_value=max_quarantined,
            ),
            between("share_unreadable", "critical", "rows that are no pairs at all", max_value=0.2),
            between(
                "share_contradiction", "critical", "labels that contradict each other teach nothing", max_value=0.1
            ),
            between("share_secret", "critical", "secrets in service logs are an incident", max_value=0.02),
            between(
                "share_gate_overlap", "critical", "training on the gate's items would fool the gate", max_value=0.05
            ),
            between("share_near_contradiction", "critical", "the same, but for a word or two", max_value=0.1),
            between("share_template", "critical", "the model's template or tokenizer spoils them", max_value=0.1),
            between("share_house_overlap", "warning", "much of it is like what is held out: templates?", max_value=0.2),
            between("share_duplicate_pair", "warning", "an export that repeats itself", max_value=0.1),
            between(
                "share_near_duplicate", "warning", "an export that repeats itself with small changes", max_value=0.1
            ),
            between("share_template_tokens", "warning", "texts that a tokenizer may read as structure", max_value=0.01),
            between(
                "share_cut_equal", "warning", "raise the token bounds: cut there, both answers are one", max_value=0.01
            ),
            between("leaked_items", "info", "items of the gate stand in training rows: replace them", **EXACTLY_NONE),
            between(
                "annotator_agreement",
                "warning",
                "annotators agree little more than by chance (Krippendorff's alpha)",
                min_value=0.4,
            ),
            between(
                "near_comparisons_skipped", "info", "bands of near-duplicates too crowded to compare", **EXACTLY_NONE
            ),
            between(
                "bias_warnings", "info", "ways in which chosen and rejected differ: see the report", **EXACTLY_NONE
            ),
            between(
                "drift_large",
                "info",
                "what differs much from the last accepted snapshot, or from what is asked in service",
                **EXACTLY_NONE,
            ),
            between("share_relabelled", "info", "annotators who changed their minds", max_value=0.05),
            between(
                "share_personal_data",
                "warning",
                "e-mail, phone or card numbers: anonymise at the source",
                max_value=0.05,
            ),
            between(
                "share_chosen_longer",
                "warning",
                "length must not stand in for preference",
                min_value=0.3,
                max_value=0.7,
            ),
            between("share_timestamp_in_future", "warning", "a clock is wrong", **EXACTLY_NONE),
            between("prompts_per_pair", "warning", "many pairs of one prompt are not independent", min_value=0.5),
        ],
    )
