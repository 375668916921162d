"""Running plans: what a run carries, in which order, who approves, what a gate says."""
