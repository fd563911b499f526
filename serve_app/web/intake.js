/** The ways in for photos: drop, paste, pick, camera. Each ends in `onFiles(files)`. */

import { find, h } from "./dom.js";

export function takeIn(onFiles) {
  const picker = find("#files");
  const capture = find("#capture");
  for (const input of [picker, capture]) {
    input.addEventListener("change", () => {
      if (input.files.length) onFiles([...input.files]);
      input.value = "";
    });
  }
  document.addEventListener("paste", (event) => {
    const files = [...event.clipboardData.files];
    if (!files.length) return;
    event.preventDefault();
    onFiles(files);
  });
  dropping(onFiles);
  return {
    pick: () => picker.click(),
    // Without a secure context there is no stream; phones then offer their own camera application.
    camera: () => (navigator.mediaDevices?.getUserMedia ? openCamera(onFiles) : capture.click()),
  };
}

function dropping(onFiles) {
  const veil = find("#dropping");
  const carriesFiles = (event) => event.dataTransfer?.types.includes("Files");
  let depth = 0;
  document.addEventListener("dragenter", (event) => {
    if (!carriesFiles(event)) return;
    depth++;
    veil.hidden = false;
  });
  document.addEventListener("dragleave", (event) => {
    if (carriesFiles(event)) veil.hidden = --depth <= 0;
  });
  document.addEventListener("dragover", (event) => {
    if (carriesFiles(event)) event.preventDefault();
  });
  document.addEventListener("drop", (event) => {
    depth = 0;
    veil.hidden = true;
    if (!carriesFiles(event)) return;
    event.preventDefault();
    onFiles([...event.dataTransfer.files]);
  });
}

async function openCamera(onFiles) {
  const dialog = find("#camera");
  const video = find("video", dialog);
  const problem = find(".problem", dialog);
  const shoot = find("[data-do=shoot]", dialog);
  problem.textContent = "";
  shoot.disabled = true;
  dialog.showModal();
  let stream = null;
  const close = new AbortController();
  dialog.addEventListener(
    "close",
    () => {
      stream?.getTracks().forEach((track) => track.stop());
      video.srcObject = null;
      close.abort();
    },
    { signal: close.signal },
  );
  find("[data-do=cancel]", dialog).addEventListener("click", () => dialog.close(), { signal: close.signal });
  try {
    const wanted = { width: { ideal: 1920 }, facingMode: "environment" };
    stream = await navigator.mediaDevices.getUserMedia({ video: wanted });
  } catch (error) {
    const denied = error.name === "NotAllowedError";
    problem.textContent = denied ? "The browser was not allowed to use the camera." : "No camera could be opened.";
    return;
  }
  if (!dialog.open) {
    stream.getTracks().forEach((track) => track.stop());
    return;
  }
  video.srcObject = stream;
  await video.play();
  shoot.disabled = false;
  const take = () => {
    const canvas = h("canvas", { width: video.videoWidth, height: video.videoHeight });
    canvas.getContext("2d").drawImage(video, 0, 0);
    canvas.toBlob((blob) => onFiles([new File([blob], "camera.jpg", { type: "image/jpeg" })]), "image/jpeg", 0.95);
    dialog.close();
  };
  shoot.addEventListener("click", take, { signal: close.signal });
}
