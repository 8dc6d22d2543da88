import { HekiError } from '@heki/physical-memory';

/** A kernel that cannot be audited: its page tables have no end. */
export class AuditError extends HekiError {
  override readonly name = 'AuditError';

  constructor(message: string) {
    super(message, { kind: 'input' });
  }
}
