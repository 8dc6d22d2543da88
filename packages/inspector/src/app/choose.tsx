import type { Choice } from '../model/inspector-model.ts';

interface ChooseProps {
  readonly label: string;
  readonly choices: readonly Choice[];
  readonly value: string;
  readonly onChoose: (name: string) => void;
}

/** One of a list. */
export function Choose({ label, choices, value, onChoose }: ChooseProps) {
  return (
    <label class="choose">
      <span>{label}</span>
      <select value={value} onChange={(event) => onChoose(event.currentTarget.value)}>
        {choices.map(({ name, title }) => (
          <option key={name} value={name}>
            {name}: {title}
          </option>
        ))}
      </select>
    </label>
  );
}
