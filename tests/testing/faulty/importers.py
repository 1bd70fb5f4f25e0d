"""Importers, with one fault each."""

from medseg.errors import ContractError


def nothing(path):
    return False


def everything(path):
    return True


def refuses(source, name):
    raise ContractError(f"{source} is no model")


def takes_anything(source, name):
    """Says that all is well."""
