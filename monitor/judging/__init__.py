"""From a closed window to what it means: rules, causes, incidents."""
