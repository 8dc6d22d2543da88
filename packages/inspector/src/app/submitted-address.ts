/** What was written into the field `va` of a form that is submitted, and looked up by the page itself; `undefined` for nothing. */
export function submittedAddress(
  event: Event & { readonly currentTarget: HTMLFormElement },
): string | undefined {
  event.preventDefault();
  const address = new FormData(event.currentTarget).get('va');
  return typeof address === 'string' && address.trim() !== '' ? address.trim() : undefined;
}
