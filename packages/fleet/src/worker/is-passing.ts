/**
 * Classes and codes of SQLSTATE (PostgreSQL, appendix A) that go by: connection exceptions, transactions that were taken back for the
 * sake of others, insufficient resources as a full disk, an operator's intervention as a restart.
 */
const PASSING_STATE = /^(?:08|40|53|57|55P03|58030)/;
/** Codes of the operating system's, of a connection. */
const PASSING_CODE =
  /^(?:ECONNREFUSED|ECONNRESET|EPIPE|ETIMEDOUT|EHOSTUNREACH|ENETUNREACH|ENETDOWN|EAI_AGAIN|ENOTFOUND|ENOENT)$/;
/** What `pg` says without a code. */
const PASSING_TEXT =
  /Connection terminated|timeout exceeded when trying to connect|Query read timeout|not queryable/;

/** Whether the database may answer when it is asked again. */
export function isPassing(error: unknown): error is Error {
  if (!(error instanceof Error)) return false;
  const code = 'code' in error && typeof error.code === 'string' ? error.code : undefined;
  return code === undefined
    ? PASSING_TEXT.test(error.message)
    : PASSING_CODE.test(code) || PASSING_STATE.test(code);
}
