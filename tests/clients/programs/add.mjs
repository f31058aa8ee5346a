// The call with fetch, the same in Node and in a browser. `members` is the JSON text.
export async function add(url, token, members) {
  const response = await fetch(url, {
    method: "POST",
    headers: { Authorization: `Basic ${token}` },
    body: new URLSearchParams({ queuemember: members }),
    signal: AbortSignal.timeout(20_000),
  });
  return { status: response.status, body: await response.text() };
}
