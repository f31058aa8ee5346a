"""Every promise of docs/security.md is held by tests, which this page names."""

import ast
import re
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]

HELD_BY: dict[str, tuple[str, ...]] = {
    "S1": (
        "tests/http/test_limits.py::test_each_call_has_a_limit_of_its_own",
        "tests/http/test_door.py::test_a_small_call_takes_a_small_body",
    ),
    "S2": (
        "tests/http/test_limits.py::test_a_form_of_too_many_fields_is_0_with_a_reason",
        "tests/http/test_limits.py::test_a_batch_has_so_many_items_and_no_more",
        "tests/http/test_connections.py::test_headers_of_http_1_are_bounded",
        "tests/http/test_connections.py::test_headers_of_http_2_are_bounded_however_small_they_arrive",
    ),
    "S3": (
        "tests/unit/test_descriptors.py::test_all_that_can_come_fits_below_the_limit",
        "tests/http/test_connections.py::test_more_connections_than_descriptors_stop_nothing",
        "tests/http/test_connections.py::test_silence_after_the_handshake_is_not_waited_for",
        "tests/http/test_connections.py::test_idle_http_2_is_closed_whatever_else_it_says",
        "tests/http/test_connections.py::test_an_answer_that_is_not_read_is_given_up",
        "tests/http/test_connections.py::test_one_address_with_too_many_loses_some_and_nobody_else_does",
    ),
    "S4": (
        "tests/unit/test_passwords.py::test_a_stranger_with_hundreds_of_addresses_is_not_before_others",
        "tests/unit/test_passwords.py::test_work_for_who_has_hung_up_is_dropped_and_what_has_begun_keeps_its_turn",
        "tests/http/test_integra.py::test_a_log_in_that_finds_too_many_others_is_429",
    ),
    "S5": (
        "tests/unit/test_auth.py::test_of_passwords_sent_at_the_same_time_only_the_free_tries_are_verified",
        "tests/unit/test_brake.py::test_one_password_for_many_users_is_braked_by_address",
        "tests/unit/test_brake.py::test_one_user_guessed_at_from_many_addresses_is_braked",
        "tests/unit/test_brake.py::test_these_are_one_address",
    ),
    "S6": (
        "tests/unit/test_brake.py::test_what_is_kept_is_bounded_in_bytes",
        "tests/unit/test_auth.py::test_names_of_any_size_leave_nothing_behind",
        "tests/unit/test_roster.py::test_a_name_that_is_too_long_is_neither_folded_nor_kept",
    ),
    "S7": ("tests/http/test_door.py::test_a_request_that_names_no_one_host_is_refused",),
    "S8": ("tests/http/test_door.py::test_a_page_of_another_site_changes_nothing",),
    "T1": (
        "tests/http/test_rights.py::test_a_token_may_what_its_row_says_and_nothing_else_is_changed_or_told",
        "tests/http/test_rights.py::test_what_is_foreign_is_answered_as_what_is_nowhere",
        "tests/http/test_rights.py::test_servers_and_batches_count_what_may_be_seen",
    ),
    "T2": (
        "tests/http/test_limits.py::test_a_reader_is_refused_before_the_body_is_read",
        "tests/http/test_door.py::test_the_role_is_looked_at_before_the_body",
    ),
    "T3": (
        "tests/unit/test_auth.py::test_made_up_users_and_real_ones_are_answered_alike",
        "tests/unit/test_passwords.py::test_for_nobody_it_takes_what_it_takes_for_a_new_user",
    ),
    "T4": (
        "tests/contract/test_store.py::test_a_changed_user_has_no_session_any_more_and_nobody_else_loses_one",
        "tests/unit/test_auth.py::test_a_new_password_ends_sessions_that_are_remembered_here",
    ),
    "T5": ("tests/cli/test_accounts.py::test_a_token_that_nobody_could_see_is_gone_again",),
    "T6": ("tests/cli/test_accounts.py::test_a_new_password_that_will_not_do",),
    "T7": ("tests/http/test_rights.py::test_a_token_may_what_its_row_says_and_nothing_else_is_changed_or_told",),
    "B1": (
        "tests/http/test_kill.py::test_what_was_answered_1_outlives_sigkill_and_nothing_is_stored_by_halves",
        "tests/abuse/test_strangers.py::test_a_stranger_holds_nobody_up",
        "tests/http/test_store_away.py::test_nothing_is_confirmed_once_the_files_are_not_those_that_were_opened",
    ),
    "B2": (
        "tests/http/test_door.py::test_no_body_brings_about_a_5xx",
        "tests/http/test_door.py::test_an_unexpected_error_is_logged_once_with_an_id_that_the_answer_has",
        "tests/fuzz/test_corpus.py::test_no_kept_input_brings_out_a_defect",
    ),
    "B3": (
        "tests/http/test_limits.py::test_so_many_problems_are_told_and_kept_and_the_others_counted",
        "tests/http/test_limits.py::test_what_is_stored_of_a_huge_name_is_short_and_a_list_has_no_problems",
    ),
    "B4": (
        "tests/http/test_limits.py::test_large_batches_wait_in_bounds_and_small_ones_do_not_wait_for_them",
        "tests/unit/test_store_sqlite.py::test_who_asks_is_looked_up_beside_reads_that_take_long",
    ),
    "B5": (
        "tests/unit/test_form.py::test_the_largest_body_of_anything_is_done_with_soon",
        "tests/unit/test_late_loop.py::test_a_call_that_holds_the_loop_up_is_told_with_its_place_and_logged_once",
    ),
    "F1": (
        "tests/unit/test_roster.py::test_nothing_that_the_default_admits_is_a_dial_string",
        "tests/unit/test_roster.py::test_whatever_is_sent_the_default_admits_no_dots_no_host_and_no_way_to_dial",
    ),
    "F2": ("tests/unit/test_roster.py::test_trunks_are_refused_whatever_else_admits_them",),
    "F3": ("tests/unit/test_roster.py::test_what_a_server_would_be_told_has_to_be_accepted_too",),
    "A1": (
        "tests/unit/test_ami_hostile.py::test_a_look_without_end_ends",
        "tests/unit/test_ami_hostile.py::test_a_look_that_drips_ends_as_a_whole",
    ),
    "A2": (
        "tests/unit/test_ami_hostile.py::test_others_have_their_turn_while_events_come_without_end",
        "tests/abuse/test_asterisks.py::test_a_hostile_asterisk_holds_nobody_up",
    ),
    "A3": ("tests/contract/test_store.py::test_many_campaigns_are_added_at_once_but_those_that_are_there",),
    "A4": (
        "tests/unit/test_language.py::test_what_cannot_be_printed_is_escaped",
        "tests/unit/test_logs.py::test_no_value_begins_a_line_or_reaches_the_terminal",
    ),
    "A5": ("tests/unit/test_ami_client.py::test_the_secret_is_never_sent_nor_shown",),
    "P1": (
        "tests/http/test_process.py::test_a_full_disk_below_the_log_harms_nobody_and_what_is_lost_is_counted",
        "tests/http/test_process.py::test_a_log_that_nobody_reads_holds_nobody_up",
        "tests/http/test_process.py::test_closed_streams_are_never_another_file",
    ),
    "P2": (
        "tests/unit/test_secret.py::test_no_traceback_tells_a_secret_even_with_local_variables",
        "tests/unit/test_logs.py::test_a_traceback_shows_no_local_variables",
        "tests/unit/test_logs.py::test_no_value_begins_a_line_or_reaches_the_terminal",
    ),
    "P3": ("tests/http/test_store_away.py::test_nothing_is_confirmed_once_the_files_are_not_those_that_were_opened",),
    "P4": (
        "tests/http/test_store_away.py::test_health_says_so_while_nothing_can_be_stored_and_recovers_without_traffic",
    ),
    "P5": (
        "tests/http/test_process.py::test_no_signal_that_means_nothing_to_it_ends_it",
        "tests/http/test_process.py::test_a_second_signal_cuts_no_request_short",
    ),
    "P6": ("tests/http/test_store_away.py::test_all_that_is_made_is_for_its_owner_only",),
    "P7": ("tests/cli/test_safety.py::test_check_warns_and_does_not_fail_for_it",),
    "C1": (
        "tests/unit/test_client_hostile.py::test_an_answer_without_end",
        "tests/unit/test_client_hostile.py::test_what_drips_is_cut_off_as_a_whole",
        "tests/unit/test_client_hostile.py::test_another_host_is_told_nothing",
    ),
}
"""A promise, and the tests that fail if it is broken: `file::function`."""


def promises(page: str) -> list[str]:
    return re.findall(r"^- \*\*([A-Z]\d+)\*\* ", (ROOT / page).read_text("utf-8"), re.MULTILINE)


@cache
def functions(file: str) -> frozenset[str]:
    tree = ast.parse((ROOT / file).read_text("utf-8"))
    return frozenset(one.name for one in ast.walk(tree) if isinstance(one, ast.FunctionDef | ast.AsyncFunctionDef))


def test_both_languages_promise_the_same() -> None:
    assert promises("docs/security.md") == promises("docs/seguridad.md") == list(HELD_BY)


@pytest.mark.parametrize("promise", HELD_BY)
def test_a_promise_is_held_by_tests_that_exist(promise: str) -> None:
    tests = HELD_BY[promise]
    assert tests
    for test in tests:
        file, _, name = test.partition("::")
        assert name.startswith("test_")
        assert name in functions(file), test
