import type { WalkStepView } from '../model/inspector-model.ts';

interface AddressAnatomyProps {
  /** 16 digits. */
  readonly va: string;
  readonly place: string | null;
  readonly steps: readonly WalkStepView[];
}

/** The address, taken apart into the numbers of the entries on its way and the offset in the page. */
export function AddressAnatomy({ va, place, steps }: AddressAnatomyProps) {
  const last = steps.at(-1);
  const lowest = last === undefined ? 48 : Number(last.indexBits.split(':')[1]);
  const bits = BigInt(`0x${va}`);
  const offset = bits % (1n << BigInt(lowest));
  return (
    <section class="anatomy" aria-label="The address, taken apart">
      <p class="address">
        <code>0x{va}</code> {place}
      </p>
      <ol>
        <li class="sign">
          <span class="number">{bits >> 63n === 1n ? '…fff' : '…000'}</span>
          <span>sign</span>
        </li>
        {steps.map(({ name, index, indexBits }) => (
          <li key={name} class={`level-${name.toLowerCase()}`}>
            <span class="number">{index}</span>
            <span>
              {name} <small>{indexBits}</small>
            </span>
          </li>
        ))}
        <li class="offset">
          <span class="number">0x{offset.toString(16)}</span>
          <span>
            offset <small>{lowest - 1}:0</small>
          </span>
        </li>
      </ol>
    </section>
  );
}
