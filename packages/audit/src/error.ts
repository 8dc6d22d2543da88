/** A kernel that cannot be audited. */
export class AuditError extends Error {
  override readonly name = 'AuditError';
}
