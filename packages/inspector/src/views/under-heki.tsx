import type { PageHypervisor } from '../report/audit-page.ts';
import { count } from '../report/words.ts';
import { Facts } from './facts.tsx';

/** What Heki would do with the kernel, on each hypervisor. */
export function UnderHeki({ hypervisors }: { readonly hypervisors: readonly PageHypervisor[] }) {
  return (
    <section aria-labelledby="heki-title">
      <h2 id="heki-title">Under Heki</h2>
      {hypervisors.map((hypervisor, index) => (
        <details key={hypervisor.name} open={index === 0}>
          <summary>
            <strong>{hypervisor.name}</strong>: {hypervisor.readiness}
            {hypervisor.unjudged && ' (its model is judged by no outside implementation)'}
          </summary>
          <p>{hypervisor.title}</p>
          <Facts facts={hypervisor.facts} />
          {hypervisor.work.length > 0 && <Work {...hypervisor} />}
          {hypervisor.open.length > 0 && (
            <>
              <h3>What stays open</h3>
              <ul>
                {hypervisor.open.map((text) => (
                  <li key={text}>{text}</li>
                ))}
              </ul>
            </>
          )}
        </details>
      ))}
    </section>
  );
}

function Work({ name, work }: Pick<PageHypervisor, 'name' | 'work'>) {
  return (
    // biome-ignore lint/a11y/noNoninteractiveTabindex: what scrolls takes the focus (WCAG 2.1.1)
    <section class="wide" aria-label={`The kernel's work under ${name}`} tabIndex={0}>
      <table>
        <caption>What becomes of the kernel's work</caption>
        <thead>
          <tr>
            <th scope="col">work</th>
            <th scope="col">outcome</th>
            <th scope="col">needs</th>
            <th scope="col">why</th>
          </tr>
        </thead>
        <tbody>
          {work.map(({ title, outcome, pages, why }) => (
            <tr key={title}>
              <th scope="row">{title}</th>
              <td class={`outcome ${outcome}`}>{outcome}</td>
              <td>{pages === 0 ? 'no pages' : count(pages, 'page')}</td>
              <td>{why}</td>
            </tr>
          ))}
        </tbody>
      </table>
    </section>
  );
}
