/* SPDX-License-Identifier: MIT */
/* Texts of errors and of HTTP status codes; the version. */
#include "base.h"

#define ERROR_QUOTE(x) ERROR_QUOTE2(x)
#define ERROR_QUOTE2(x) #x

MICRO_API const char *micro_version(void)
{
    return ERROR_QUOTE(MICRO_VERSION_MAJOR) "." ERROR_QUOTE(MICRO_VERSION_MINOR) "." ERROR_QUOTE(
        MICRO_VERSION_PATCH);
}

/* The phrases that Go's net/http has: peers compare and show them. The usual ones come first. */
static const struct {
    int code;
    const char *text;
} error_statuses[] = {
    { 200, "OK" },
    { 500, "Internal Server Error" },
    { 100, "Continue" },
    { 101, "Switching Protocols" },
    { 102, "Processing" },
    { 103, "Early Hints" },
    { 201, "Created" },
    { 202, "Accepted" },
    { 203, "Non-Authoritative Information" },
    { 204, "No Content" },
    { 205, "Reset Content" },
    { 206, "Partial Content" },
    { 207, "Multi-Status" },
    { 208, "Already Reported" },
    { 226, "IM Used" },
    { 300, "Multiple Choices" },
    { 301, "Moved Permanently" },
    { 302, "Found" },
    { 303, "See Other" },
    { 304, "Not Modified" },
    { 305, "Use Proxy" },
    { 307, "Temporary Redirect" },
    { 308, "Permanent Redirect" },
    { 400, "Bad Request" },
    { 401, "Unauthorized" },
    { 402, "Payment Required" },
    { 403, "Forbidden" },
    { 404, "Not Found" },
    { 405, "Method Not Allowed" },
    { 406, "Not Acceptable" },
    { 407, "Proxy Authentication Required" },
    { 408, "Request Timeout" },
    { 409, "Conflict" },
    { 410, "Gone" },
    { 411, "Length Required" },
    { 412, "Precondition Failed" },
    { 413, "Request Entity Too Large" },
    { 414, "Request URI Too Long" },
    { 415, "Unsupported Media Type" },
    { 416, "Requested Range Not Satisfiable" },
    { 417, "Expectation Failed" },
    { 418, "I'm a teapot" },
    { 421, "Misdirected Request" },
    { 422, "Unprocessable Entity" },
    { 423, "Locked" },
    { 424, "Failed Dependency" },
    { 425, "Too Early" },
    { 426, "Upgrade Required" },
    { 428, "Precondition Required" },
    { 429, "Too Many Requests" },
    { 431, "Request Header Fields Too Large" },
    { 451, "Unavailable For Legal Reasons" },
    { 501, "Not Implemented" },
    { 502, "Bad Gateway" },
    { 503, "Service Unavailable" },
    { 504, "Gateway Timeout" },
    { 505, "HTTP Version Not Supported" },
    { 506, "Variant Also Negotiates" },
    { 507, "Insufficient Storage" },
    { 508, "Loop Detected" },
    { 510, "Not Extended" },
    { 511, "Network Authentication Required" },
};

MICRO_PRIVATE const char *micro__status_text(int code)
{
    for (size_t i = 0; i < MICRO_COUNTOF(error_statuses); i++)
        if (error_statuses[i].code == code)
            return error_statuses[i].text;
    return "";
}

#define ERROR_TEXT(name, number, text) [-(number)] = text,
static const char *const error_texts[] = { "no error", MICRO_ERRORS_(ERROR_TEXT) };
#undef ERROR_TEXT

MICRO_API const char *micro_strerror(micro_err err)
{
    if (err <= 0 && err > -(int)MICRO_COUNTOF(error_texts))
        return error_texts[-err];
    const char *text = micro__status_text(err);
    if (*text)
        return text;
    return err >= 100 && err <= 999 ? "error raised by the service" : "unknown error";
}

