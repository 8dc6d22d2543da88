import type { EntryBit, WalkQuery } from '../model/inspector-model.ts';

interface EntryEditorProps {
  /** `PML4E`. */
  readonly name: string;
  /** As edits name it. */
  readonly address: string;
  /** The same for people. */
  readonly place: string;
  /** 16 digits. */
  readonly value: string;
  readonly isEdited: boolean;
  readonly bits: readonly EntryBit[];
  readonly onEdit: (edit: WalkQuery['edits']) => void;
}

/** The value of an entry, and its bits, to be edited. */
export function EntryEditor({ name, address, place, value, isEdited, bits, onEdit }: EntryEditorProps) {
  const set = (changed: bigint): void =>
    onEdit({ [address]: `0x${BigInt.asUintN(64, changed).toString(16)}` });
  return (
    <>
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
        <span class="quiet">at {place}</span> {isEdited && <em>edited</em>}
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
    </>
  );
}
