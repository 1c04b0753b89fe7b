/** Saves a text as a file of the person's. */
export function saveText(fileName: string, text: string): void {
  const address = URL.createObjectURL(new Blob([text], { type: "application/json" }));
  const link = document.createElement("a");
  link.href = address;
  link.download = fileName;
  link.click();
  // The browser has begun by then; sooner some do not.
  setTimeout(() => URL.revokeObjectURL(address), 60_000);
}
