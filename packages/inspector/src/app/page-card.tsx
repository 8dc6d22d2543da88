import { hex } from '@heki/physical-memory';
import type { Remote } from 'comlink';
import { useState } from 'preact/hooks';
import { type MemoryModel, runsWithin } from '../memory/memory-model.ts';
import type { Edits, FrameCard, InspectorModel, MomentQuery } from '../model/inspector-model.ts';
import { Facts } from '../views/facts.tsx';
import { walkRoute } from './route.ts';
import { SecondLevel } from './second-level.tsx';
import { useAnswer } from './use-answer.ts';

interface PageCardProps {
  readonly frame: number;
  readonly memory: MemoryModel;
  readonly model: Remote<InspectorModel>;
  /** When, on a machine that lives; of a dump without. */
  readonly moment?: MomentQuery | undefined;
  /** What was edited of a dump. */
  readonly edits?: Edits;
}

/** Of one page: what a machine has of it, the walks that lead to it, and its bytes. */
export function PageCard({ frame, memory, model, moment, edits = {} }: PageCardProps) {
  const [run] = runsWithin(memory.runs, { start: frame, end: frame + 1 }, 1);
  const places = (run?.places ?? []).map((place, index) => ({
    ...place,
    address: hex(BigInt(frame + (run?.distances[index] ?? 0)) << 12n),
  }));
  const code = places.find(({ rights }) => rights[2] === 'x')?.address ?? null;
  return (
    <section class="page-card" aria-label={`Page ${hex(frame * 4096)}`}>
      {moment !== undefined && <OnMachine frame={frame} moment={moment} model={model} />}
      {places.length > 0 && (
        <ul class="links">
          {places.map(({ address, region }) => (
            <li key={address}>
              <a href={walkRoute({ address, access: 'read', user: false, edits }, moment)}>
                Walk <code>{address}</code>
              </a>{' '}
              {region}
            </li>
          ))}
        </ul>
      )}
      <Bytes key={`${frame} ${code}`} frame={frame} code={code} model={model} moment={moment} />
    </section>
  );
}

interface OnMachineProps {
  readonly frame: number;
  readonly moment: MomentQuery;
  readonly model: Remote<InspectorModel>;
}

/** What Heki's core, the hypervisor and its tables have of a page. */
function OnMachine({ frame, moment, model }: OnMachineProps) {
  const { answer, isCurrent } = useAnswer(`${JSON.stringify(moment)} ${frame}`, () =>
    model.frameAt(moment, frame),
  );
  if (answer === undefined) return <p aria-busy="true">Looking at the machine …</p>;
  if ('failure' in answer) return <p role="alert">{answer.failure.message}</p>;
  const card = answer.value;
  return (
    <div class="on-machine" aria-busy={!isCurrent}>
      <Facts facts={factsOf(card)} />
      {card.secondLevel !== null && <SecondLevel view={card.secondLevel} />}
    </div>
  );
}

function factsOf({ host, counters, asked, effective }: FrameCard): [string, string][] {
  return [
    [
      'counters',
      counters === null
        ? 'none'
        : `${counters.read} read, ${counters.write} write, ${counters.execute} execute it`,
    ],
    ['asked for', asked ?? 'nothing'],
    ['granted', effective ?? 'nothing: no memory'],
    ...(host === null ? [] : ([['in the host', hex(host * 4096)]] satisfies [string, string][])),
  ];
}

interface BytesProps {
  readonly frame: number;
  /** Where the page is executed, if it is. */
  readonly code: string | null;
  readonly model: Remote<InspectorModel>;
  readonly moment: MomentQuery | undefined;
}

/** The bytes of a page, or its instructions. */
function Bytes(props: BytesProps) {
  const [isOpen, setOpen] = useState(false);
  return (
    <details onToggle={(event) => setOpen(event.currentTarget.open)}>
      <summary>{props.code === null ? 'Its bytes' : 'Its instructions'}</summary>
      {isOpen && <Lines {...props} />}
    </details>
  );
}

function Lines({ frame, code, model, moment }: BytesProps) {
  const { answer, isCurrent } = useAnswer(`${frame} ${code} ${JSON.stringify(moment)}`, () =>
    moment === undefined ? model.bytes(frame, code) : model.bytesAt(moment, frame, code),
  );
  if (answer === undefined) return <p aria-busy="true">Reading …</p>;
  if ('failure' in answer) return <p role="alert">{answer.failure.message}</p>;
  const { lines } = answer.value;
  if (lines.length === 0)
    return (
      <p>
        {moment === undefined
          ? 'The dump does not hold this page: it is an extract of the page tables, or the page was filtered out.'
          : 'The machine has no bytes of this page at this moment.'}
      </p>
    );
  return (
    // biome-ignore lint/a11y/noNoninteractiveTabindex: what scrolls takes the focus (WCAG 2.1.1)
    <pre class="bytes" tabIndex={0} aria-busy={!isCurrent}>
      {lines.join('\n')}
    </pre>
  );
}
