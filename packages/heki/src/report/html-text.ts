import { createHash } from 'node:crypto';
import { printable } from '../printable.ts';

/** `value` as HTML shows it, whatever a guest wrote: no markup, no character that does not print or moves others. */
export function htmlText(value: string): string {
  return printable(value)
    .replaceAll('&', '&amp;')
    .replaceAll('<', '&lt;')
    .replaceAll('>', '&gt;')
    .replaceAll('"', '&quot;');
}

/** The head of a page that opens from disk: no script, nothing from elsewhere, and no style but `style`. */
export function htmlHead(title: string, style: string): string {
  const hash = createHash('sha256').update(style).digest('base64');
  return `<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'sha256-${hash}'; base-uri 'none'; form-action 'none'">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="referrer" content="no-referrer">
<title>${htmlText(title)}</title>
<style>${style}</style>
</head>`;
}
