import { useState } from 'preact/hooks';
import type { ReportModel } from '../report/report-model.ts';
import { Findings } from './findings.tsx';
import { MemorySection } from './memory-section.tsx';
import { UnderHeki } from './under-heki.tsx';
import { Verdict } from './verdict.tsx';
import { Warnings } from './warnings.tsx';

/** The page of an audit. */
export function Report({ model }: { readonly model: ReportModel }) {
  const [selected, setSelected] = useState<number>();
  const { page, memory } = model;
  const { hypervisors, warnings, tool } = page;
  return (
    <>
      <Verdict page={page} />
      <main>
        <div class="beside">
          {memory === undefined ? (
            <section aria-labelledby="memory-title">
              <h2 id="memory-title">Memory</h2>
              <p>Left out of this report: it is redacted.</p>
            </section>
          ) : (
            <MemorySection model={model} memory={memory} selected={selected} onSelect={setSelected} />
          )}
          <Findings findings={model.findings} selected={selected} onSelect={setSelected} />
        </div>
        {hypervisors.length > 0 && <UnderHeki hypervisors={hypervisors} />}
        <Warnings warnings={warnings} />
      </main>
      <footer>
        <p>{tool}. This page needs no network, and sends nothing.</p>
      </footer>
    </>
  );
}
