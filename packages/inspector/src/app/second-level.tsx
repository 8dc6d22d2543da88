import type { SecondLevelStepView, SecondLevelView, WalkQuery } from '../model/inspector-model.ts';
import { EntryEditor } from './entry-editor.tsx';

interface SecondLevelProps {
  readonly view: SecondLevelView;
  /** Where entries can be edited. */
  readonly onEdit?: ((edit: WalkQuery['edits']) => void) | undefined;
}

/** A walk of the second level, entry by entry. */
export function SecondLevel({ view: { kind, steps, isAllowed, outcome }, onEdit }: SecondLevelProps) {
  return (
    <div class="second-level">
      <ol aria-label={`Entries of the ${kind}`}>
        {steps.map((step) => (
          <li key={step.address} class={step.isEdited ? 'edited' : undefined}>
            {onEdit === undefined ? (
              <code>
                {step.name} {step.value}
              </code>
            ) : (
              <Editable step={step} onEdit={onEdit} />
            )}
            <span class="target">{step.text}</span>
          </li>
        ))}
      </ol>
      <p class={isAllowed ? 'passes' : 'fails'}>{outcome}</p>
    </div>
  );
}

interface EditableProps {
  readonly step: SecondLevelStepView;
  readonly onEdit: (edit: WalkQuery['edits']) => void;
}

function Editable({ step: { name, address, value, isEdited, bits }, onEdit }: EditableProps) {
  return (
    <details open={isEdited}>
      <summary>
        <code>
          {name} {value}
        </code>
      </summary>
      <EntryEditor
        name={name}
        address={address}
        place={`host ${address.slice(1)}`}
        value={value}
        isEdited={isEdited}
        bits={bits}
        onEdit={onEdit}
      />
    </details>
  );
}
