"""What is read out of an expression as PostgreSQL stores it."""

from quotenode_backup.runner.postgres.backup_logs_code import References, references_in

AMONG = (  # CHECK (evil(status) AND status IN ('A')) on PostgreSQL 17, where status is a varchar
    "{BOOLEXPR :boolop and :args ({FUNCEXPR :funcid 16391 :funcresulttype 16 :funcretset false :funcformat 0 :funccollid 0 "
    ":inputcollid 100 :args ({VAR :varno 1 :varattno 2 :vartype 1043 :vartypmod 24 :varcollid 100 :varlevelsup 0 :location -1}) "
    ":location -1} {SCALARARRAYOPEXPR :opno 98 :opfuncid 67 :hashfuncid 0 :negfuncid 0 :useOr true :inputcollid 100 :args ("
    "{RELABELTYPE :arg {VAR :varno 1 :varattno 2 :vartype 1043 :location 77} :resulttype 25 :resulttypmod -1 :relabelformat 2} "
    "{ARRAYEXPR :array_typeid 1009 :array_collid 100 :element_typeid 25 :elements ({CONST :consttype 25 :consttypmod -1 "
    ":constlen -1 :constisnull false :constvalue 5 [ 20 0 0 0 65 ]}) :multidims false :location -1}) :location 84}) :location -1}"
)


def test_functions_operators_and_types_are_read_by_number() -> None:
    nodes = {"BOOLEXPR", "FUNCEXPR", "VAR", "SCALARARRAYOPEXPR", "RELABELTYPE", "ARRAYEXPR", "CONST"}
    expected = References(frozenset(nodes), frozenset({16391}), frozenset({98}), frozenset({16, 25, 1009, 1043}))
    assert references_in(AMONG) == expected


def test_the_stored_function_of_an_operator_is_not_relied_on() -> None:
    """The server finds the function by the operator, whatever is stored beside it."""
    assert references_in("{OPEXPR :opno 16392 :opfuncid 67}") == References(
        frozenset({"OPEXPR"}), frozenset(), frozenset({16392}), frozenset()
    )


def test_every_kind_of_node_is_found_also_an_unknown_one() -> None:
    assert references_in("({SUBLINK :subLinkType 0}{NEW_NODE :x 1})").nodes == {"SUBLINK", "NEW_NODE"}
