"""Going back: a pure decision, a journal written before every act, one file an actuator.

Start reading at :mod:`rollback.decision`. The steps are in `actuators`, :mod:`rollback.kinds` is
their table, and `kubernetes` is the client that most of them share.
"""
