"""Fetches a model with MLflow's own client: ``python -m scoring.artifacts.fetch URI FOLDER``.

A process of its own, so that the server never pays for importing mlflow. It knows every kind of
address that MLflow knows: runs:/, s3://, gs://, dbfs:/ and so on.
"""

from __future__ import annotations

import sys


def main(uri: str, folder: str) -> None:
    """Download the artifacts at `uri` to `folder`, and print where they are."""
    import mlflow.artifacts  # noqa: PLC0415 - what this process exists to import

    path = mlflow.artifacts.download_artifacts(artifact_uri=uri, dst_path=folder)
    sys.stdout.write(f"{path}\n")


if __name__ == "__main__":
    main(*sys.argv[1:])
