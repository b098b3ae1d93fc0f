"""The verbs: one file each, a function from plain values to a frozen result. They print nothing."""
