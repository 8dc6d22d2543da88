import { hex } from '@heki/physical-memory';
import type { Remote } from 'comlink';
import { useState } from 'preact/hooks';
import { type MemoryModel, runsWithin } from '../memory/memory-model.ts';
import type { InspectorModel } from '../model/inspector-model.ts';
import { routeTo } from './route.ts';
import { useAnswer } from './use-answer.ts';

interface PageCardProps {
  readonly frame: number;
  readonly memory: MemoryModel;
  readonly model: Remote<InspectorModel>;
}

/** Of one page: the walks that lead to it, and its bytes. */
export function PageCard({ frame, memory, model }: PageCardProps) {
  const [run] = runsWithin(memory.runs, { start: frame, end: frame + 1 }, 1);
  const places = (run?.places ?? []).map((place, index) => ({
    ...place,
    address: hex(BigInt(frame + (run?.distances[index] ?? 0)) << 12n),
  }));
  const code = places.find(({ rights }) => rights[2] === 'x')?.address ?? null;
  return (
    <section class="page-card" aria-label={`Page ${hex(frame * 4096)}`}>
      {places.length > 0 && (
        <ul class="links">
          {places.map(({ address, region }) => (
            <li key={address}>
              <a href={routeTo('walk', { va: address })}>
                Walk <code>{address}</code>
              </a>{' '}
              {region}
            </li>
          ))}
        </ul>
      )}
      <Bytes key={`${frame} ${code}`} frame={frame} code={code} model={model} />
    </section>
  );
}

interface BytesProps {
  readonly frame: number;
  /** Where the page is executed, if it is. */
  readonly code: string | null;
  readonly model: Remote<InspectorModel>;
}

/** The bytes of a page, or its instructions. */
function Bytes({ frame, code, model }: BytesProps) {
  const [isOpen, setOpen] = useState(false);
  return (
    <details onToggle={(event) => setOpen(event.currentTarget.open)}>
      <summary>{code === null ? 'Its bytes' : 'Its instructions'}</summary>
      {isOpen && <Lines frame={frame} code={code} model={model} />}
    </details>
  );
}

function Lines({ frame, code, model }: BytesProps) {
  const { answer } = useAnswer(`${frame} ${code}`, () => model.bytes(frame, code));
  if (answer === undefined) return <p aria-busy="true">Reading …</p>;
  if ('failure' in answer) return <p role="alert">{answer.failure.message}</p>;
  const { lines } = answer.value;
  if (lines.length === 0)
    return (
      <p>
        The dump does not hold this page: it is an extract of the page tables, or the page was filtered out.
      </p>
    );
  return (
    // biome-ignore lint/a11y/noNoninteractiveTabindex: what scrolls takes the focus (WCAG 2.1.1)
    <pre class="bytes" tabIndex={0}>
      {lines.join('\n')}
    </pre>
  );
}
