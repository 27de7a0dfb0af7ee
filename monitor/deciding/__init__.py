"""Going back, within the daemon: the decision's parts, alerts, rehearsals, and who may act."""
