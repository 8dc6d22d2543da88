/** The name of a heading's place in its page as GitHub makes it, so that a link leads there on both. */
export function headingPlace(heading: string): string {
  return heading
    .trim()
    .toLowerCase()
    .replaceAll(/[^\p{L}\p{M}\p{N}_\- ]/gu, '')
    .replaceAll(' ', '-');
}
