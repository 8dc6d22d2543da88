import type { AuditPage } from '../report/audit-page.ts';

/** What is assumed, and what was not judged. */
export function Warnings({ warnings }: Pick<AuditPage, 'warnings'>) {
  return (
    <section aria-labelledby="warnings-title">
      <h2 id="warnings-title">What is assumed or not judged</h2>
      {warnings.length === 0 ? (
        <p>Nothing.</p>
      ) : (
        <ul>
          {warnings.map(({ id, message }) => (
            <li key={`${id} ${message}`}>
              <code>{id}</code> {message}
            </li>
          ))}
        </ul>
      )}
    </section>
  );
}
