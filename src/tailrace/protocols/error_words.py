"""The codes that model servers use for their failures, and the HTTP status of each.

One table for codes, types and statuses of all dialects: those of OpenAI and Anthropic, of vLLM, llama.cpp
and TGI, of Google (gRPC's names), Azure and Bedrock (names of exceptions). Codes are compared without
punctuation and case.
"""

from __future__ import annotations

import re

from tailrace.events.items import Json

_WORDS = {
    400: """bio_policy data_residency_mismatch empty_image_file failed_to_download_image
        image_content_policy_violation image_file_not_found image_file_too_large image_parse_error
        image_too_large image_too_small invalid_base64_image invalid_image invalid_image_format
        invalid_image_mode invalid_image_url misalignment_policy_violation unsupported_image_media_type
        bad_request bad_request_error content_filter content_filtered content_policy_violation
        content_blocked content_moderation content_policy context_length_exceeded context_window_exceeded
        data_inspection_failed exceed_context_size_error failed_precondition inappropriate_content
        input_too_long invalid_argument invalid_prompt invalid_request invalid_request_error invalid_value
        invalid_parameter max_tokens_exceeded missing_required_parameter
        model_context_window_exceeded model_max_prompt_tokens_exceeded moderation moderation_blocked
        out_of_range responsible_ai_policy_violation string_above_max_length token_limit_exceeded
        unknown_parameter unsupported_parameter unsupported_value validation validation_error
        validation_exception""",
    401: """authentication authentication_error expired_token_exception incorrect_api_key invalid_api_key
        invalid_authentication unauthenticated unauthorized unauthorized_error
        unrecognized_client_exception""",
    402: """billing_error billing_hard_limit_reached billing_not_active insufficient_balance
        insufficient_credits payment_required""",
    403: """access_denied access_denied_exception account_deactivated forbidden missing_scope
        permission_denied permission_denied_error permission_error region_error request_forbidden
        unsupported_country_region_territory""",
    404: """deployment_not_found invalid_model model_not_found model_not_found_error model_not_supported
        not_found not_found_error resource_not_found_exception unknown_model""",
    408: "request_timeout",
    409: "aborted already_exists conflict conflict_error",
    413: "payload_too_large request_entity_too_large request_too_large",
    422: "unprocessable_entity unprocessable_entity_error",
    429: """exceeded_current_quota_error insufficient_quota model_rate_limited quota_exceeded rate_limit
        rate_limit_error rate_limit_exceeded rate_limit_reached rate_limited resource_exhausted
        service_quota_exceeded_exception throttled throttling throttling_exception too_many_requests
        too_many_requests_exception
        usage_limit_reached""",
    499: "cancelled client_closed_request request_cancelled",
    500: """api_error internal internal_error internal_failure internal_server_error internal_server_exception
        model_error_exception server_error unknown""",
    503: """model_not_ready_exception server_is_overloaded service_unavailable service_unavailable_error
        service_unavailable_exception slow_down unavailable unavailable_error""",
    504: """vector_store_timeout deadline_exceeded
        gateway_timeout model_timeout_exception timeout timeout_error""",
    529: "engine_overloaded engine_overloaded_error overloaded overloaded_error",
}
_STATUS = {word.replace("_", ""): status for status, all in _WORDS.items() for word in all.split()}

CONTENT = frozenset(
    {"contentfilter", "contentpolicyviolation", "moderation", "moderationblocked"}
    | {"responsibleaipolicyviolation", "contentfiltered", "contentblocked", "contentmoderation"}
    | {"contentpolicy", "datainspectionfailed", "inappropriatecontent", "refusal"}
)
"""Codes for a fault of the request, whatever the status."""
QUOTA = frozenset(
    {"insufficientquota", "usagelimitreached", "quotaexceeded", "exceededcurrentquotaerror"}
)
"""Codes for an exhausted account: a retry within seconds does not help."""
VAGUE = frozenset(word for word, status in _STATUS.items() if status == 500) | {
    "badrequest",
    "badrequesterror",
    "invalidargument",
    "invalidprompt",
    "invalidrequest",
    "invalidrequesterror",
    "validationerror",
    "validationexception",
}
"""Codes that add nothing to a status."""
REGION = frozenset({"unsupportedcountryregionterritory", "regionerror", "unsupportedregion"})
"""Codes for a country that a server does not serve."""
PERMISSION = frozenset(
    {"accessdenied", "accessdeniedexception", "permissiondenied", "permissiondeniederror"}
    | {"permissionerror", "missingscope"}
)
"""Codes for a valid key without permission for this request."""


def bare(word: str) -> str:
    """A code without punctuation and case: `com.amazon#ThrottlingException` and `throttling_exception` are
    equal."""
    return re.sub(r"[^a-z0-9]", "", word.rpartition("#")[2].lower())


def status_of(word: Json) -> int:
    """The status for a code, type or status; 0 for an unknown one."""
    if isinstance(word, float) and word.is_integer():
        word = int(word)
    if isinstance(word, bool) or not isinstance(word, (int, str)):
        return 0
    text = str(word)
    if re.fullmatch(r"[345][0-9]{2}", text):
        return int(text)
    return _STATUS.get(bare(text), 0) if len(text) < 200 else 0
