from glob import glob

from setuptools import find_packages, setup

NODES = ["perception", "prompt", "policy", "arm", "manager", "tabletop", "vima_bench"]
TOOLS = ["send_prompt", "stop", "resume", "assets", "sim", "replay", "oracle", "calibrate", "demo"]
TOOLS += [
    "grab_image",
    "bench",
    "convert_checkpoint",
    "demonstrate",
    "train_detector",
    "evaluate_detector",
    "train_policy",
    "evaluate_policy",
    "evaluate_robot",
]

setup(
    name="vima_ros",
    version="0.1.0",
    package_dir={"": "src"},
    packages=find_packages("src", include=["vima_ros", "vima_ros.*"]),
    package_data={
        "vima_ros": [
            "cli/calibrate/corner_picker.html",
            "cli/demo/report.html",
            "policy/tokenizer.json",
            "policy/weights/*",
            "perception/detectors/weights/*",
        ]
    },
    data_files=[
        ("share/ament_index/resource_index/packages", ["resource/vima_ros"]),
        ("share/vima_ros", ["package.xml"]),
        ("share/vima_ros/launch", glob("launch/*.launch.*")),
        ("share/vima_ros/config", glob("config/*.*")),
        ("share/vima_ros/config/robots", glob("config/robots/*")),
        ("share/vima_ros/config/training", glob("config/training/*")),
    ],
    install_requires=["setuptools"],
    extras_require={"test": ["pytest"]},  # colcon test looks for it
    zip_safe=True,
    maintainer="vima_ros maintainers",
    maintainer_email="maintainers@vima-ros.invalid",
    description="Prompt-conditioned manipulation (VIMA) as ROS 2 nodes",
    license="Apache-2.0",
    entry_points={
        "console_scripts": [f"{name} = vima_ros.program:run_node" for name in NODES]
        + [f"{name} = vima_ros.program:run_program" for name in TOOLS]
    },
)
