"""The verb evaluate: cases, their scores, statistics, comparisons, tables and reports."""
