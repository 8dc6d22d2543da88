import type { AuditPage } from './audit-page.ts';

/** Stands in the built page where its data go. */
const DATA_MARK = '"heki:data"';

/**
 * The page with `data` in it.
 *
 * JSON in a `<script type="application/json">` ends at the first `</script`, and `<!--` changes how the rest is read (HTML 13.2.5.4): without
 * any `<` neither can be in it, whatever a guest called its modules.
 *
 * @param template the built page, `@heki/inspector/audit.html`
 * @param printable makes of each text what is to be shown of it, which may have been chosen by an attacker
 * @throws {TypeError} when `template` is not one
 */
export function fillPage(template: string, data: AuditPage, printable: (text: string) => string): string {
  const at = template.indexOf(DATA_MARK);
  if (at < 0) throw new TypeError(`the template lacks ${DATA_MARK}: is it @heki/inspector/audit.html?`);
  const json = JSON.stringify(data, (_, value: unknown) =>
    typeof value === 'string' ? printable(value) : value,
  ).replaceAll('<', '\\u003c');
  return template.slice(0, at) + json + template.slice(at + DATA_MARK.length);
}
