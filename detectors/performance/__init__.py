"""How well a model does: measured where labels are known, estimated where they are not."""
