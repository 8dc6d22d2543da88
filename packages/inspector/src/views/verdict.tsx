import type { AuditPage, PageSeverity } from '../report/audit-page.ts';
import { Facts } from './facts.tsx';

const SEVERITIES = ['critical', 'high', 'medium', 'low', 'info'] as const satisfies readonly PageSeverity[];

/** The verdict, and what was looked at. */
export function Verdict({ page }: { readonly page: AuditPage }) {
  const { verdict, facts, hypervisors } = page;
  return (
    <header>
      <h1 class={verdict.fails ? 'fails' : 'passes'}>
        {verdict.fails ? 'Fails: ' : 'Passes: '}
        {verdict.text}
      </h1>
      <ul class="counts" aria-label="Findings by severity">
        {SEVERITIES.map((severity) => (
          <li key={severity}>
            <span class={`severity ${severity}`}>{severity}</span> {verdict.counts[severity]}
          </li>
        ))}
      </ul>
      {hypervisors[0] !== undefined && (
        <p>
          <strong>Under Heki:</strong> {hypervisors[0].readiness}.
        </p>
      )}
      <Facts facts={facts} />
    </header>
  );
}
