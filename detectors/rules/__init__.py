"""What a window means for a rule: judgements, quorums, and the rule that keeps a stated budget."""
