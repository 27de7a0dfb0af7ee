"""Going back: a pure decision, a journal written before every act, one file an actuator."""
