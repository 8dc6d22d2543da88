import type { PageFact } from '../report/audit-page.ts';

/** Names and values. */
export function Facts({ facts }: { readonly facts: readonly PageFact[] }) {
  return (
    <dl class="facts">
      {facts.map(([name, value], index) => (
        // Names may come twice, and the list never changes.
        <div key={`${index} ${name}`}>
          <dt>{name}</dt>
          <dd>{value}</dd>
        </div>
      ))}
    </dl>
  );
}
