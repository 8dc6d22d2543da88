export async function protect() {
  return 0;
}
