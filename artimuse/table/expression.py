"""Users' conditions in SQL: one expression about one row, and nothing else."""

import json

import duckdb

from artimuse.errors import BadInput

# What else a SELECT can have; in each of these an expression alone has nothing.
_CLAUSES = ("modifiers", "where_clause", "group_expressions", "group_sets", "having", "sample", "qualify")


def refuse_more_than_expression(option: str, sql: str) -> None:
    """Raises BadInput if the text is no SQL, or more than one expression, or looks at other rows or tables."""
    with duckdb.connect() as connection:
        # With a line end, so that a comment at its end hides nothing.
        [(text,)] = connection.execute("SELECT json_serialize_sql(?)", [f"SELECT\n{sql}\n"]).fetchall()
    tree = json.loads(text)
    if tree["error"] and tree.get("error_type") == "parser":
        raise BadInput(f"{option} {sql!r}: {tree['error_message']}")
    nodes = [statement["node"] for statement in tree.get("statements", ())]
    if len(nodes) != 1 or not _is_expression(nodes[0]):
        raise BadInput(f'{option} {sql!r}: expected one condition, such as "score >= 60"')
    if _has_subquery(nodes[0]["select_list"]):
        raise BadInput(f"{option} {sql!r}: a condition looks at one row, and has no SELECT in it")


def _is_expression(node: dict[str, object]) -> bool:
    selected, source = node.get("select_list"), node.get("from_table")
    if not isinstance(selected, list) or len(selected) != 1 or selected[0].get("alias"):
        return False
    return isinstance(source, dict) and source.get("type") == "EMPTY" and not any(node.get(c) for c in _CLAUSES)


def _has_subquery(node: object) -> bool:
    if isinstance(node, dict):
        return node.get("class") == "SUBQUERY" or any(map(_has_subquery, node.values()))
    return isinstance(node, list) and any(map(_has_subquery, node))
