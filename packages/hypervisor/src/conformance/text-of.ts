/** A value of the contract as text, for comparing and for messages: as JSON, with numbers of any size, and sets as lists. */
export function textOf(value: unknown): string {
  const text = JSON.stringify(value, (_key, part: unknown) =>
    typeof part === 'bigint' ? part.toString(16) : part instanceof Set ? [...part] : part,
  );
  return text ?? 'nothing';
}
