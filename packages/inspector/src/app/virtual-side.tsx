import { hex } from '@heki/physical-memory';
import type { Remote } from 'comlink';
import { Fragment } from 'preact';
import { useLayoutEffect, useMemo, useRef, useState } from 'preact/hooks';
import { mappedRegions, type VirtualSide as Side, stretchAt } from '../memory/virtual-side.ts';
import type { Edits, InspectorModel } from '../model/inspector-model.ts';
import { count, number, physicalText, sizeText, virtualText } from '../report/words.ts';
import { walkRoute } from './route.ts';
import { submittedAddress } from './submitted-address.ts';
import { useAnswer } from './use-answer.ts';
import { useVirtualRows } from './use-virtual-rows.ts';

interface VirtualSideProps {
  readonly model: Remote<InspectorModel>;
  /** What was edited of the dump. */
  readonly edits: Edits;
}

/** The kernel's half of the dump: regions and leaves, each of which leads to its walk. */
export function VirtualSide({ model, edits }: VirtualSideProps) {
  const [isOpen, setOpen] = useState(false);
  return (
    <details class="virtual-side" onToggle={(event) => setOpen(event.currentTarget.open)}>
      <summary>What is mapped, by virtual address</summary>
      {isOpen && <Mapped model={model} edits={edits} />}
    </details>
  );
}

function Mapped({ model, edits }: VirtualSideProps) {
  const { answer } = useAnswer(JSON.stringify(edits), () => model.virtualSide(edits));
  if (answer === undefined) return <p aria-busy="true">Reading …</p>;
  if ('failure' in answer) return <p role="alert">{answer.failure.message}</p>;
  return <Stretches side={answer.value} model={model} edits={edits} />;
}

/** Rows that Page Up and Page Down go by. */
const PAGE = 15;
/** Of a row, in CSS pixels: `.virtual-rows tr` has it. */
const ROW_HEIGHT = 28;
const COLUMNS = ['mapped at', 'pages', 'leaves', 'rights', 'leaf alone', 'guest-physical', 'region'] as const;

function Stretches({ side, model, edits }: { readonly side: Side } & VirtualSideProps) {
  const { stretches, leaves, leftOut } = side;
  const regions = useMemo(() => mappedRegions(side), [side]);
  const scroller = useRef<HTMLDivElement>(null);
  const [active, setActive] = useState(0);
  /** The row that is to have the focus once it is drawn; -1 for none. */
  const wanted = useRef<number>(-1);
  const rows = useVirtualRows({ scroller, count: stretches.length, height: ROW_HEIGHT, active });
  const [said, setSaid] = useState('');

  const goTo = (index: number, align: 'auto' | 'start'): void => {
    const to = Math.max(0, Math.min(index, stretches.length - 1));
    wanted.current = to;
    setActive(to);
    rows.scrollToIndex(to, { align });
  };
  useLayoutEffect(() => {
    if (wanted.current !== active) return;
    wanted.current = -1;
    scroller.current
      ?.querySelector<HTMLElement>(`[data-index="${active}"] a`)
      ?.focus({ preventScroll: true });
  });

  const find = async (address: string): Promise<void> => {
    const answer = await model.walk({ address, access: 'read', user: false, edits });
    if ('failure' in answer) {
      setSaid(answer.failure.message);
      return;
    }
    const frame = Number(BigInt(`0x${answer.value.va}`) >> 12n);
    const index = stretchAt(side, frame);
    const { virtualFrame = 0, pages = 0 } = stretches[index] ?? {};
    const isMapped = frame >= virtualFrame && frame < virtualFrame + pages;
    setSaid(isMapped ? '' : `Nothing is mapped at 0x${answer.value.va}.`);
    goTo(index, 'start');
  };

  const moves: Readonly<Record<string, number>> = {
    ArrowDown: active + 1,
    ArrowUp: active - 1,
    PageDown: active + PAGE,
    PageUp: active - PAGE,
    Home: 0,
    End: stretches.length - 1,
  };
  const move = (event: KeyboardEvent): void => {
    const to = moves[event.key];
    if (to === undefined || event.altKey || event.ctrlKey || event.metaKey) return;
    event.preventDefault();
    goTo(to, 'auto');
  };
  const drawn = rows.getVirtualItems();
  return (
    <>
      <p>
        {count(leaves, 'leaf', 'leaves')} of the kernel's half, in{' '}
        {count(stretches.length + leftOut, 'stretch', 'stretches')} of leaves alike that lie side by side.
        Arrows go from one to the next, Enter walks its address.
        {leftOut > 0 && ` The last ${number(leftOut)} are not listed: "heki walk" has them.`}
      </p>
      <form
        class="tools"
        onSubmit={(event) => {
          const address = submittedAddress(event);
          if (address !== undefined) void find(address);
        }}
      >
        <label class="choose">
          <span>Region</span>
          <select onChange={(event) => goTo(regions[event.currentTarget.selectedIndex]?.first ?? 0, 'start')}>
            {regions.map(({ name, first, pages }) => (
              <option key={first}>
                {name}: {sizeText(pages)}
              </option>
            ))}
          </select>
        </label>
        <label>
          Address or symbol <input name="va" spellcheck={false} autocomplete="off" />
        </label>
        <button type="submit">Find</button>
        <span role="status">{said}</span>
      </form>
      <div class="virtual-rows" ref={scroller}>
        <table aria-rowcount={stretches.length + 1}>
          <caption class="unseen">Stretches of leaves</caption>
          <thead>
            <tr aria-rowindex={1}>
              {COLUMNS.map((name) => (
                <th key={name} scope="col">
                  {name}
                </th>
              ))}
            </tr>
          </thead>
          <tbody>
            {drawn.map(({ index, start }, nth) => {
              const above = start - (drawn[nth - 1]?.end ?? ROW_HEIGHT);
              return (
                <Fragment key={index}>
                  {above > 0 && <Gap height={above} />}
                  <Stretch
                    side={side}
                    edits={edits}
                    index={index}
                    isActive={index === active}
                    onFocus={() => setActive(index)}
                    onKey={move}
                  />
                </Fragment>
              );
            })}
            <Gap height={rows.getTotalSize() + ROW_HEIGHT - (drawn.at(-1)?.end ?? 0)} />
          </tbody>
        </table>
      </div>
    </>
  );
}

/** Rows that are not drawn. */
function Gap({ height }: { readonly height: number }) {
  return (
    // biome-ignore lint/a11y/noAriaHiddenOnFocusable: a row takes no focus
    <tr aria-hidden="true">
      <td class="gap" colSpan={COLUMNS.length} style={{ height: `${height}px` }} />
    </tr>
  );
}

interface StretchProps {
  readonly side: Side;
  readonly edits: Edits;
  readonly index: number;
  readonly isActive: boolean;
  readonly onFocus: () => void;
  readonly onKey: (event: KeyboardEvent) => void;
}

/** Pages of a leaf. */
const LEAF_PAGES: Readonly<Record<string, number>> = { '4K': 1, '2M': 512, '1G': 512 * 512 };

function Stretch({ side: { stretches, kinds }, edits, index, isActive, onFocus, onKey }: StretchProps) {
  const stretch = stretches[index];
  const kind = kinds[stretch?.kind ?? -1];
  if (stretch === undefined || kind === undefined) return null;
  const { virtualFrame, frame, pages } = stretch;
  const address = hex(BigInt(virtualFrame) << 12n);
  const run = (start: number) => ({ start, end: start + pages });
  return (
    <tr data-index={index} aria-rowindex={index + 2}>
      <th scope="row">
        <a
          href={walkRoute({ address, access: 'read', user: false, edits })}
          tabIndex={isActive ? 0 : -1}
          onFocus={onFocus}
          onKeyDown={onKey}
        >
          <code>{virtualText(run(virtualFrame))}</code>
        </a>
      </th>
      <td>{number(pages)}</td>
      <td>
        {number(Math.ceil(pages / (LEAF_PAGES[kind.size] ?? 1)))} of {kind.size}
      </td>
      <td class={kind.rights.startsWith('rwx') ? 'fails' : undefined}>
        <code>{kind.rights}</code>
      </td>
      <td>
        <code>{kind.leaf}</code>
      </td>
      <td>
        <code>{physicalText(run(frame))}</code>
      </td>
      <td>
        {kind.region}
        {kind.isShared && ', a table that stands at several places'}
      </td>
    </tr>
  );
}
