import type { Remote } from 'comlink';
import { useEffect, useState } from 'preact/hooks';
import type { InspectorModel } from '../model/inspector-model.ts';
import type { ReportModel } from '../report/report-model.ts';
import { Findings } from '../views/findings.tsx';
import { MemorySection } from '../views/memory-section.tsx';
import { UnderHeki } from '../views/under-heki.tsx';
import { Verdict } from '../views/verdict.tsx';
import { Warnings } from '../views/warnings.tsx';
import { PageCard } from './page-card.tsx';
import { walkRoute } from './route.ts';
import { VirtualSide } from './virtual-side.tsx';

interface MemoryPageProps {
  readonly report: ReportModel;
  readonly model: Remote<InspectorModel>;
  readonly parameters: URLSearchParams;
}

/** Physical memory, and what was found in it. */
export function MemoryPage({ report, model, parameters }: MemoryPageProps) {
  const named = report.findings.find(({ id }) => id === parameters.get('finding'))?.index;
  const [selected, setSelected] = useState<number | undefined>(named);
  useEffect(() => {
    if (named !== undefined) setSelected(named);
  }, [named]);
  const { page, memory } = report;
  return (
    <>
      <Verdict page={page} />
      <main>
        <div class="beside">
          {memory !== undefined && (
            <MemorySection
              model={report}
              memory={memory}
              selected={selected}
              onSelect={setSelected}
              extra={(range) =>
                range.end - range.start === 1 && (
                  <PageCard frame={range.start} memory={memory} model={model} />
                )
              }
            />
          )}
          <Findings
            findings={report.findings}
            selected={selected}
            onSelect={setSelected}
            walkAt={(address) => walkRoute({ address, access: 'read', user: false, edits: {} })}
          />
        </div>
        <VirtualSide model={model} />
        {page.hypervisors.length > 0 && <UnderHeki hypervisors={page.hypervisors} />}
        <Warnings warnings={page.warnings} />
      </main>
    </>
  );
}
