"""How a registered model is named: ``models:/NAME@ALIAS`` or ``models:/NAME/VERSION``."""

from __future__ import annotations

from dataclasses import dataclass


class ModelUriError(ValueError):
    """A URI that does not name one version of a registered model."""


@dataclass(frozen=True, slots=True)
class ModelUri:
    """Which version of a registered model: by number or by alias, exactly one of the two."""

    name: str
    version: str | None = None
    alias: str | None = None


def parse_model_uri(uri: str) -> ModelUri:
    """Read ``models:/name@alias`` or ``models:/name/7``.

    Raises
    ------
    ModelUriError
        Anything else: stages, ``latest`` and MLflow 3 model ids name no fixed version that a
        rollback could return to, so they are refused with a word on what to write instead.

    Examples
    --------
    >>> parse_model_uri("models:/flight-delay@champion")
    ModelUri(name='flight-delay', version=None, alias='champion')
    >>> parse_model_uri("models:/flight-delay/7").version
    '7'
    """
    scheme, _, path = uri.partition(":/")
    name, slash, suffix = path.partition("/")
    if scheme == "models" and name and slash and suffix.isascii() and suffix.isdigit():
        return ModelUri(name, version=str(int(suffix)))
    name, at, alias = path.rpartition("@")
    if scheme == "models" and name and at and alias and "/" not in path:
        return ModelUri(name, alias=alias)
    raise ModelUriError(
        f'cannot use "{uri}" as a registered model: write "models:/NAME@ALIAS" or '
        '"models:/NAME/VERSION" (stages, "latest" and model ids are not supported)'
    )
