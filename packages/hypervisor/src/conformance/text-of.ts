/** A value of the contract as text, for comparing and for messages: as JSON, with numbers of any size. */
export function textOf(value: unknown): string {
  const text = JSON.stringify(value, (_key, part: unknown) =>
    typeof part === 'bigint' ? part.toString(16) : part,
  );
  return text ?? 'nothing';
}
