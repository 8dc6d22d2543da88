import { useEffect, useRef } from 'preact/hooks';
import {
  ENTRY_KINDS,
  type SecondLevelView,
  type WalkQuery,
  type WalkStepView,
} from '../model/inspector-model.ts';
import { useColours } from '../views/use-colours.ts';
import { EntryEditor } from './entry-editor.tsx';
import { SecondLevel } from './second-level.tsx';

interface WalkStepProps {
  readonly step: WalkStepView;
  readonly onEdit: (edit: WalkQuery['edits']) => void;
}

/** An entry of the walk, in its table, with its bits to be edited. */
export function WalkStep({ step, onEdit }: WalkStepProps) {
  const { name, isHlat, index, address, table, value, isEdited, isPresent, target, bits, secondLevel } = step;
  return (
    <li class={`step level-${name.toLowerCase()}${isEdited ? ' edited' : ''}${isPresent ? '' : ' absent'}`}>
      <h2>
        {name}
        {isHlat && ' of HLAT'}{' '}
        <small>
          entry {index} of the table at <code>{table}</code>
        </small>
      </h2>
      <TableStrip step={step} />
      <EntryEditor
        name={name}
        address={address}
        place={address}
        value={value}
        isEdited={isEdited}
        bits={bits}
        onEdit={onEdit}
      />
      <p class="target">
        <span aria-hidden="true">↓ </span>
        {target}
      </p>
      {secondLevel !== null && (
        <StageBeside what={`The ${name} is read`} secondLevel={secondLevel} isOfEntry onEdit={onEdit} />
      )}
    </li>
  );
}

interface StageBesideProps {
  /** `The PML4E is read`. */
  readonly what: string;
  readonly secondLevel: SecondLevelView;
  /** The heading above is that of an entry. */
  readonly isOfEntry: boolean;
  readonly onEdit: (edit: WalkQuery['edits']) => void;
}

/** The walk of the second level that stands behind an access of the guest's. */
export function StageBeside({ what, secondLevel, isOfEntry, onEdit }: StageBesideProps) {
  const Heading = isOfEntry ? 'h3' : 'h2';
  return (
    <div class="stage-beside">
      <Heading>
        {what} through {secondLevel.kind}
      </Heading>
      <SecondLevel view={secondLevel} onEdit={onEdit} />
    </div>
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
