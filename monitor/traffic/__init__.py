"""What is known of the traffic besides its rows: event time, versions, segments, samples of it."""
