"""`kedge demo`: the whole loop on one machine, with a real registry and a real model."""
