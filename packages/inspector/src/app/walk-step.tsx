import { useEffect, useRef } from 'preact/hooks';
import { ENTRY_KINDS, type WalkQuery, type WalkStepView } from '../model/inspector-model.ts';
import { useColours } from '../views/use-colours.ts';

interface WalkStepProps {
  readonly step: WalkStepView;
  readonly onEdit: (edit: WalkQuery['edits']) => void;
}

/** An entry of the walk, in its table, with its bits to be edited. */
export function WalkStep({ step, onEdit }: WalkStepProps) {
  const { name, index, address, table, value, isEdited, isPresent, target, bits } = step;
  const set = (changed: bigint): void =>
    onEdit({ [address]: `0x${BigInt.asUintN(64, changed).toString(16)}` });
  return (
    <li class={`step level-${name.toLowerCase()}${isEdited ? ' edited' : ''}${isPresent ? '' : ' absent'}`}>
      <h2>
        {name}{' '}
        <small>
          entry {index} of the table at <code>{table}</code>
        </small>
      </h2>
      <TableStrip step={step} />
      <p class="entry">
        <label>
          <span class="unseen">Value of the {name}</span>
          <input
            class="value"
            key={value}
            defaultValue={`0x${value}`}
            spellcheck={false}
            autocomplete="off"
            onChange={(event) => {
              const digits = /^(?:0x)?([0-9a-f_]{1,20})$/i.exec(event.currentTarget.value.trim())?.[1];
              if (digits === undefined) event.currentTarget.value = `0x${value}`;
              else set(BigInt(`0x${digits.replaceAll('_', '') || '0'}`));
            }}
          />
        </label>{' '}
        <span class="quiet">at {address}</span> {isEdited && <em>edited</em>}
      </p>
      <fieldset class="bits">
        <legend class="unseen">Bits of the {name}</legend>
        {bits.map(({ name: bitName, bit, isSet, meaning }) => (
          <button
            key={bitName}
            type="button"
            aria-pressed={isSet}
            title={`bit ${bit}: ${meaning}`}
            onClick={() => set(BigInt(`0x${value}`) ^ (1n << BigInt(bit)))}
          >
            {bitName} <small>{bit}</small>
          </button>
        ))}
      </fieldset>
      <p class="target">
        <span aria-hidden="true">↓ </span>
        {target}
      </p>
    </li>
  );
}

const COLUMNS = 128;
const CELL = 8;

/** All 512 entries of a table, with the one that the walk reads. */
function TableStrip({ step: { index, neighbours, name } }: { readonly step: WalkStepView }) {
  const canvas = useRef<HTMLCanvasElement>(null);
  const colours = useColours();
  useEffect(() => {
    const context = canvas.current?.getContext('2d');
    if (context === null || context === undefined) return;
    context.clearRect(0, 0, COLUMNS * CELL, 4 * CELL);
    const used = [colours.classes[0], colours.table, ...colours.classes.slice(2)];
    for (let entry = 0; entry < 512; entry++) {
      context.fillStyle = used[neighbours[entry] ?? 0] ?? '';
      context.fillRect((entry % COLUMNS) * CELL, Math.floor(entry / COLUMNS) * CELL, CELL - 1, CELL - 1);
    }
    context.strokeStyle = colours.mark;
    context.lineWidth = 2;
    context.strokeRect(
      (index % COLUMNS) * CELL - 1,
      Math.floor(index / COLUMNS) * CELL - 1,
      CELL + 1,
      CELL + 1,
    );
  });
  const present = neighbours.reduce((sum, kind) => sum + (kind === 0 ? 0 : 1), 0);
  return (
    <canvas
      ref={canvas}
      class="table-strip"
      width={COLUMNS * CELL}
      height={4 * CELL}
      role="img"
      aria-label={`The table: ${present} of its 512 entries are present, ${neighbours.reduce((sum, kind) => sum + (kind === ENTRY_KINDS.indexOf('table') ? 1 : 0), 0)} of them lead to tables; the ${name} is number ${index}`}
    />
  );
}
