import type { Remote } from 'comlink';
import { useEffect, useState } from 'preact/hooks';
import type { Edits, InspectorModel } from '../model/inspector-model.ts';
import type { ReportModel } from '../report/report-model.ts';
import { count } from '../report/words.ts';
import { Findings } from '../views/findings.tsx';
import { MemorySection } from '../views/memory-section.tsx';
import { UnderHeki } from '../views/under-heki.tsx';
import { Verdict } from '../views/verdict.tsx';
import { Warnings } from '../views/warnings.tsx';
import { PageCard } from './page-card.tsx';
import { routeTo, walkRoute } from './route.ts';
import { VirtualSide } from './virtual-side.tsx';

export interface MemoryPageProps {
  readonly report: ReportModel;
  readonly model: Remote<InspectorModel>;
  readonly parameters: URLSearchParams;
  /** The entries that were edited in what the report is of. */
  readonly edits: Edits;
}

/** Physical memory, and what was found in it. */
export function MemoryPage({ report, model, parameters, edits }: MemoryPageProps) {
  const named = report.findings.find(({ id }) => id === parameters.get('finding'))?.index;
  const [selected, setSelected] = useState<number | undefined>(named);
  useEffect(() => {
    if (named !== undefined) setSelected(named);
  }, [named]);
  const { page, memory } = report;
  const edited = Object.keys(edits).length;
  return (
    <>
      <Verdict page={page} />
      <main>
        {edited > 0 && (
          <p role="status">
            An audit of the dump with {count(edited, 'entry', 'entries')} of its page tables edited.{' '}
            <a href={routeTo('memory')}>As the dump has them</a>
          </p>
        )}
        <div class="beside">
          {memory !== undefined && (
            <MemorySection
              model={report}
              memory={memory}
              selected={selected}
              onSelect={setSelected}
              extra={(range) =>
                range.end - range.start === 1 && (
                  <PageCard frame={range.start} memory={memory} model={model} edits={edits} />
                )
              }
            />
          )}
          <Findings
            findings={report.findings}
            selected={selected}
            onSelect={setSelected}
            walkAt={(address) => walkRoute({ address, access: 'read', user: false, edits })}
          />
        </div>
        <VirtualSide model={model} edits={edits} />
        {page.hypervisors.length > 0 && <UnderHeki hypervisors={page.hypervisors} />}
        <Warnings warnings={page.warnings} />
      </main>
    </>
  );
}
