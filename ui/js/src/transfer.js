/** The token that Streamlit gives its own pages, sent back to show that a page of ours asks. */
function xsrfToken() {
  return document.cookie.match(/(?:^|; )_streamlit_xsrf=([^;]*)/)?.[1] ?? "";
}

async function answerOf(response) {
  if (response.ok) return response.json();
  const text = await response.text();
  throw new Error(text || `the server answered ${response.status}`);
}

/** Send bytes, compressed, and return the server's JSON. */
export async function putCompressed(url, bytes) {
  const body = new Blob([bytes]).stream().pipeThrough(new CompressionStream("gzip"));
  const response = await fetch(url, {
    method: "PUT",
    headers: { "X-Xsrftoken": xsrfToken(), "Content-Type": "application/gzip" },
    body: await new Response(body).blob(),
  });
  return answerOf(response);
}

/** Send a file as it is; ``onSent`` gets the bytes that are on their way. */
export function putFile(url, file, { name, onSent }) {
  return new Promise((resolve, reject) => {
    const request = new XMLHttpRequest(); // fetch does not report what it has sent
    request.open("PUT", url);
    request.setRequestHeader("X-Xsrftoken", xsrfToken());
    request.setRequestHeader("X-File-Name", encodeURIComponent(name));
    request.upload.onprogress = ({ loaded }) => onSent(loaded);
    request.onload = () => (request.status < 300 ? resolve() : reject(new Error(request.responseText)));
    request.onerror = () => reject(new Error("the connection to the server was lost"));
    request.send(file);
  });
}
